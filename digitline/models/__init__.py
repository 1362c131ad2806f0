"""A model on disk: signed bundle, card, registry, champion."""
