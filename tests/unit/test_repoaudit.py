"""What pgBackRest says of its repository is read word by word: its exit code says nothing."""

import json

from tasks.postgres.repoaudit import archive_judged, backup_verified, listed_segments

FULL, INCREMENTAL = "20260301-040000F", "20260301-040000F_20260302-040000I"
HEALTHY = f"""P00   INFO: stanza: shop
            status: ok
              archiveId: 15-1, total WAL checked: 3, total valid WAL: 3
              backup: {FULL}, status: valid, total files checked: 967, total valid files: 967
              backup: {INCREMENTAL}, status: valid, total files checked: 967, total valid files: 967
"""
BROKEN = f"""P01   INFO: invalid result 15-1/0000000100000000/000000010000000000000003-{"a" * 40}.gz: unexpected eof
P01   INFO: file missing '{FULL}/pg_data/base/1/1255.gz'
P01   INFO: invalid checksum '{FULL}/pg_data/base/1/2601.gz'
stanza: shop
  backup: {FULL}, status: invalid, total files checked: 967, total valid files: 965
  backup: {INCREMENTAL}, status: valid, total files checked: 967, total valid files: 967
"""


def segment(number: int, timeline: int = 1) -> str:
    return f"{timeline:08X}00000000{number:08X}"


def judged(numbers, said="", until=None):
    return archive_judged(said, [segment(n) for n in numbers], segment(2), until)


def test_a_valid_backup_is_verified():
    found = backup_verified(HEALTHY, INCREMENTAL, (FULL, INCREMENTAL), had_errors=False)
    assert (found.ok, found.files, found.problems) == (True, 967, ())


def test_an_invalid_one_is_told_with_its_files():
    found = backup_verified(BROKEN, FULL, (FULL,), had_errors=False)
    assert not found.ok
    assert len(found.problems) == 3
    assert "1255.gz" in found.problems[1]


def test_only_the_chosen_backup_is_judged():
    assert backup_verified(BROKEN, INCREMENTAL, (FULL, INCREMENTAL), had_errors=False).ok


def test_silence_is_no_verification():
    assert not backup_verified("", FULL, (FULL,), had_errors=False).ok


def test_errors_noted_when_it_was_taken_count():
    assert not backup_verified(HEALTHY, FULL, (FULL,), had_errors=True).ok


def test_segments_are_listed_without_their_checksums():
    names = {
        ".": {},
        "0000000100000000": {},
        f"0000000100000000/{segment(3)}-{'b' * 40}.zst": {},
        f"0000000100000000/{segment(2)}-{'a' * 40}": {},
        f"0000000100000000/{segment(2)}.00000028.backup": {},
        "archive.info": {},
    }
    assert listed_segments(json.dumps(names)) == (segment(2), segment(3))


def test_a_whole_archive_is_whole():
    found = judged(range(1, 6), HEALTHY)
    assert (found.segments, found.missing, found.damaged, found.last_number) == (4, (), (), 5)


def test_a_gap_is_found():
    assert judged((2, 4, 5)).missing == (segment(3),)


def test_a_start_that_is_gone_is_missing():
    assert judged((3, 4)).missing == (segment(2),)


def test_an_empty_archive_holds_nothing():
    found = judged(())
    assert (found.segments, found.last) == (0, "none")


def test_what_came_after_the_drill_began_does_not_count():
    assert judged((2, 3, 5), until=segment(3)).missing == ()


def test_damage_counts_within_the_range():
    assert judged((2, 3), BROKEN).damaged != ()
    assert archive_judged(BROKEN, [segment(4)], segment(4), None).damaged == ()
