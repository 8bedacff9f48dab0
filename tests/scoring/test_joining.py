"""How the processes of a launch find one another."""

import threading

import pytest
from torch._C._distributed_c10d import HashStore

from utils.scoring import launch


def test_all_ranks_of_an_attempt_get_one_name():
    store = HashStore()
    names: list[str] = []

    def join(rank: int) -> None:
        names.append(launch._name_of_attempt(store, rank, 3))

    threads = [threading.Thread(target=join, args=(rank,)) for rank in (1, 2, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(names) == 3 and len(set(names)) == 1


def test_who_waits_for_others_says_so_and_not_for_ever(monkeypatch, capsys):
    monkeypatch.setattr(launch, "_SECONDS_UNTIL_SAID", 0.05)
    monkeypatch.setattr(launch, "_SECONDS_TO_JOIN", 0.3)
    with pytest.raises(ValueError, match=r"found 1 of 3 processes after 0 s, expected all: one on another"):
        launch._name_of_attempt(HashStore(), 0, 3)
    assert capsys.readouterr().out.count("waiting for 2 of 3 processes to join the launch") == 1
