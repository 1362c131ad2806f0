"""What a challenger must show to become champion, as it can be set."""

from pydantic import BaseModel, ConfigDict, Field


class Gate(BaseModel):
    """What a challenger must show to become champion."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_accuracy: float = Field(0.9, ge=0, le=1, description="accuracy on the test rows")
    max_p: float = Field(
        0.05, gt=0, lt=1, description="below this p-value the champion counts as better"
    )
    max_recall_drop: float = Field(
        0.01, ge=0, le=1, description="drop of one digit's recall, beyond what chance explains"
    )
    max_read_rate_drop: float = Field(
        0.02, ge=0, le=1, description="drop of the certified read rate"
    )
    max_calibration_error: float = Field(
        0.01, ge=0, le=1, description="expected calibration error, beyond what chance explains"
    )
    max_bytes: int = Field(256 << 20, gt=0, description="size of the model file")
    min_speed: float = Field(500, ge=0, description="normalised images read in a second")
