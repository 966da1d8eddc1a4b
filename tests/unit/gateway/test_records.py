import shutil
import stat
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runner.core.model import AttemptKey, StepName, WsId
from runner.errors import UnusableError
from runner.gateway.exchange import Exchange, Received
from runner.gateway.records import Records
from runner.gateway.upstream import Answer, NoAnswer
from tests.unit.gateway.stub import KEY

FIX = replace(KEY, step=StepName.FIX)


def answer(text: str) -> Answer:
    return Answer(status=200, body=text.encode())


def exchange(request: bytes, reply: Received | NoAnswer) -> Exchange:
    return Exchange(request=request, asked_at=datetime.now(UTC), duration_s=0.0, reply=reply)


LOST = exchange(b"lost", NoAnswer(reason="the agent hung up"))


def keep(folder: Path, exchanges: Iterable[Exchange], key: AttemptKey = KEY) -> None:
    with Records(folder).open(key) as records:
        for one in exchanges:
            records.keep(records.next_number(), one)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_an_attempt_that_is_done_again_is_served_in_the_order_in_which_it_asked(tmp_path: Path):
    keep(
        tmp_path,
        [exchange(b"hi", answer("one")), exchange(b"ho", answer("x")), exchange(b"hi", answer("two"))],
    )
    with Records(tmp_path).open(KEY) as records:
        assert [records.take(b"hi") for _ in range(3)] == [answer("one"), answer("two"), None]
        assert records.take(b"something else") is None
    with Records(tmp_path).open(KEY) as records:  # each opening starts from the beginning
        assert records.take(b"hi") == answer("one")


def test_what_is_received_meanwhile_is_not_served_to_the_same_opening(tmp_path: Path):
    with Records(tmp_path).open(KEY) as records:
        records.keep(records.next_number(), exchange(b"hi", answer("one"))).result()
        assert records.take(b"hi") is None


def test_no_other_attempt_is_served(tmp_path: Path):
    keep(tmp_path, [exchange(b"hi", answer("one"))])
    others = [FIX, replace(KEY, attempt=2), replace(KEY, ws_id=WsId("other"))]
    for key in others:
        with Records(tmp_path).open(key) as records:
            assert records.take(b"hi") is None


def test_requests_are_numbered_through_all_attempts_of_a_workstream(tmp_path: Path):
    keep(tmp_path, [exchange(b"hi", answer("one")), LOST])
    keep(tmp_path, [exchange(b"hi", answer("three"))], FIX)
    keep(tmp_path, [exchange(b"hi", answer("one"))], replace(KEY, ws_id=WsId("other")))
    assert [name[:-18] for name in names(tmp_path)] == [
        "add-parser/edit-1/0001",
        "add-parser/edit-1/0002",
        "add-parser/fix-1/0003",
        "other/edit-1/0001",
    ]


def test_what_came_to_nothing_is_asked_again_under_its_number(tmp_path: Path):
    keep(tmp_path, [exchange(b"a", answer("one")), LOST, exchange(b"c", answer("three")), LOST])
    with Records(tmp_path).open(KEY) as records:
        assert records.take(b"lost") is None
        assert [records.next_number() for _ in range(3)] == [2, 4, 5]
    assert len(names(tmp_path)) == 2


def test_only_we_can_read_what_was_said(tmp_path: Path):
    folder = tmp_path / "records" / "01JRUN"
    keep(folder, [exchange(b"hi", answer("one"))])
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (folder.parent, *folder.parent.rglob("*/"))}
    assert modes == {0o700}
    (record,) = folder.glob("*/*/*.json")
    assert stat.S_IMODE(record.stat().st_mode) == 0o600


def test_a_damaged_record_is_an_error_that_names_it(tmp_path: Path):
    keep(tmp_path, [exchange(b"hi", answer("one"))])
    (record,) = tmp_path.glob("*/*/*.json")
    record.write_bytes(record.read_bytes()[:100])
    with pytest.raises(UnusableError) as caught, Records(tmp_path).open(KEY):
        pass
    assert caught.value.brief == "The record of a model's answer cannot be read."
    assert caught.value.details.startswith(f"{record}: it is not JSON")
    assert caught.value.hint == "Move the file elsewhere to have the model asked again."


def test_files_with_other_names_are_left_alone_and_never_read(tmp_path: Path):
    keep(tmp_path, [exchange(b"hi", answer("one"))])
    folder = tmp_path / KEY.ws_id / "edit-1"
    for name in ("notes.txt", "1-0123456789ab.json", "0009-0123456789ab.json.bak", "9999.json"):
        (folder / name).write_text("not ours")
    before = names(tmp_path)
    with Records(tmp_path).open(KEY) as records:
        assert records.take(b"hi") == answer("one")
        assert records.next_number() == 2
    assert names(tmp_path) == before


def test_a_record_that_was_not_finished_is_none_and_is_removed(tmp_path: Path):
    keep(tmp_path, [exchange(b"hi", answer("one"))])
    (record,) = tmp_path.glob("*/*/*.json")
    record.rename(f"{record}.part")
    with Records(tmp_path).open(KEY) as records:
        assert records.take(b"hi") is None
        assert records.next_number() == 1
    assert names(tmp_path) == []


def keep_without_a_folder(folder: Path, then: Callable[[], object] = lambda: None) -> None:
    with Records(folder).open(KEY) as records:
        shutil.rmtree(folder / KEY.ws_id)
        kept = records.keep(1, exchange(b"hi", answer("one")))
        assert isinstance(kept.exception(), FileNotFoundError)
        then()


def test_an_answer_that_cannot_be_written_ends_in_an_error(tmp_path: Path):
    with pytest.raises(UnusableError) as caught:
        keep_without_a_folder(tmp_path)
    assert caught.value.brief == "An answer of the model could not be recorded."
    assert caught.value.details == f"{tmp_path / KEY.ws_id / 'edit-1'}: No such file or directory"


def test_what_the_user_of_an_attempt_raises_is_not_hidden(tmp_path: Path):
    with pytest.raises(ZeroDivisionError):
        keep_without_a_folder(tmp_path, lambda: 1 / 0)


def test_leaving_waits_for_what_is_being_written(tmp_path: Path):
    keep(tmp_path, [exchange(b"%d" % number, answer("x" * 100_000)) for number in range(50)])
    assert len(names(tmp_path)) == 50


def test_many_workstreams_begin_at_once(tmp_path: Path):
    keys = [replace(KEY, ws_id=WsId(f"ws-{number}")) for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        folder = tmp_path / "records" / "01JRUN"
        list(pool.map(lambda key: keep(folder, [exchange(b"hi", answer("one"))], key), keys))
    assert len(names(tmp_path)) == 16
