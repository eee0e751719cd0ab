"""UUIDs are Python's own, made once for as long as they are remembered, and only so many are."""

import uuid

from ff_storage.postgres.codecs import UuidMemory, uuid_bytes


def test_a_uuid_that_is_remembered_is_the_same_object() -> None:
    memory = UuidMemory()
    key = uuid.uuid4()
    found = memory[uuid_bytes(key)]
    assert type(found) is uuid.UUID
    assert found == key
    assert found.is_safe is key.is_safe
    assert memory[uuid_bytes(str(key))] is found


def test_the_memory_is_bounded_and_right_when_it_forgets() -> None:
    memory = UuidMemory()
    keys = [uuid.UUID(int=number) for number in range(5_000)]
    assert [memory[uuid_bytes(key)] for key in keys] == keys
    assert len(memory) <= 1_024
    assert memory[uuid_bytes(keys[0])] == keys[0]
