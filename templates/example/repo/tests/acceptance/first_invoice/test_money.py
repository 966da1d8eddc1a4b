import pytest

from stint.money import amount_cents


@pytest.mark.parametrize(
    ("minutes", "rate_cents", "cents"),
    [(0, 9000, 0), (60, 9000, 9000), (90, 9000, 13500), (30, 8995, 4498), (1, 100, 2)],
)
def test_an_amount_is_rounded_half_up_to_a_cent(minutes, rate_cents, cents):
    assert amount_cents(minutes, rate_cents) == cents


def test_an_amount_is_a_whole_number():
    assert isinstance(amount_cents(50, 8995), int)
