"""How much one call may hold, whatever dialect it comes in."""

from typing import Final

MAX_MESSAGES: Final = 4096
MAX_TOOLS: Final = 512
MAX_CHOICES: Final = 128
MAX_MODEL_LENGTH: Final = 512
