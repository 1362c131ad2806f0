"""From a listing of images to answers, every image exactly once."""
