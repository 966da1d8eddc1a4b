class StintError(Exception):
    """Something the user can put right; the text says what and where."""


class LogError(StintError):
    """A line of the log that cannot be understood."""

    def __init__(self, number: int, problem: str) -> None:
        super().__init__(f"line {number}: {problem}")
        self.number = number
