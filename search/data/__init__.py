"""The images: where they come from, who may see them, how a batch is made of them."""


class DataError(Exception):
    """Data that is missing, damaged or does not fit: one sentence with the place and the next step."""
