from hypothesis import given
from hypothesis import strategies as st

from runner.core.beginnings import Beginnings, agree

TEXTS = st.text("ab\U0010ffff", max_size=4)


@given(st.lists(TEXTS), TEXTS)
def test_near_are_exactly_the_texts_that_agree(texts: list[str], text: str) -> None:
    index = Beginnings(texts)
    near = index.near(text)
    assert sorted(near) == [place for place in range(len(texts)) if agree(texts[place], text)]
    assert len(near) == len(list(near))
