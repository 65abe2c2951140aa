"""The images: where they come from, who may see them, how a batch is made of them."""

from search.errors import UserError


class DataError(UserError):
    """Data that is missing, damaged or does not fit: one sentence with the place and the next step."""

    exit_code = 3
