"""Minutes as people write them."""


def clock_format(minutes: int) -> str:
    """Hours and minutes: 425 is '7:05'."""
    return f"{minutes // 60}:{minutes % 60:02}"
