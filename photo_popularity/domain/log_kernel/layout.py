"""Where things stand in the memory that the compiled kernel and Python share. Numbers alone, known to both."""

from __future__ import annotations

from typing import Final

# What `work` can be asked for.
PARSE_BLOCK, FIND_TEXTS, COUNT_BLOCK, FILL_SLOTS, ABSORB_KEY = range(5)

# The words of a block: what `parse_block` reads and writes.
BUFFER: Final = 0  # address of the lines
LENGTH: Final = 1  # bytes of them
TOKENS: Final = 2  # address: where quotes, backslashes and newlines stand
RECORDS: Final = 3  # address of RECORD_WORDS words for each line that may count for a photo
RECORD_COUNT: Final = 4
REJECTS: Final = 5  # address of REJECT_WORDS words for each line that is in no known format
REJECT_COUNT: Final = 6
DAY_RUNS: Final = 7  # address of (day, good lines) for each stretch of lines of one day
DAY_RUN_COUNT: Final = 8
LINES: Final = 9
FIRST_MOMENT: Final = 10
LAST_MOMENT: Final = 11
FIELDS: Final = 12  # address of FIELD_WORDS words: the fields of the line at hand
CLOCK: Final = 13  # address of CLOCK_WORDS words: the minute last seen, and when it starts
SEED: Final = 14  # of the hashes of texts
BLOCK_WORDS: Final = 15

# The fields of a line: spans are offsets in the buffer, the end not included; -1 where the format has no such field.
ADDRESS_END: Final = 0
MOMENT: Final = 1
REQUEST: Final = 2
REQUEST_END: Final = 3
STATUS: Final = 4
SIZE: Final = 5
REFERRER: Final = 6
REFERRER_END: Final = 7
AGENT: Final = 8
AGENT_END: Final = 9
FIELD_WORDS: Final = 10
CLOCK_WORDS: Final = 5

# A record: four texts follow, each as its hash (later its place in the arena) and its span.
DAY: Final = 0
COUNTS_AS: Final = 1  # VIEW_STATUS and DEED_STATUS as bits
BYTES: Final = 2
TEXTS: Final = 3
PATH_TEXT, AGENT_TEXT, HOST_TEXT, ADDRESS_TEXT = range(4)
RECORD_WORDS: Final = TEXTS + 2 * 4
VIEW_STATUS: Final = 1
DEED_STATUS: Final = 2

# A reject: the line's number in the block, from 0, the number of the reason, its span.
REJECT_WORDS: Final = 4
GOOD: Final = 0
EMPTY, TOO_LONG, FOREIGN, BAD_TIME = range(1, 5)

# The words of the store: what `find_texts` and `count_block` read and write.
TEXT_SLOTS: Final = (
    0  # address of the open hash table of texts: where each stands in the arena, -1 where free
)
TEXT_MASK: Final = 1  # its length less one
TEXT_COUNT: Final = 2
ARENA: Final = 3  # address of all texts, each as a header and its bytes, filled up to whole words
ARENA_USED: Final = 4  # words
ROW_SLOTS: Final = 5
ROW_MASK: Final = 6
ROW_KEYS: Final = 7  # address of day << 32 | photo
ROW_COUNT: Final = 8
COUNTS: Final = 9  # address of COUNT_WORDS words for each row
PAIRS: Final = 10  # address of row << 32 | visitor for each view
PAIR_COUNT: Final = 11
VISITOR_SLOTS: Final = 12
VISITOR_MASK: Final = 13
VISITORS: Final = 14  # address of the visitors' hashes
VISITOR_COUNT: Final = 15
DAYS: Final = 16  # address of the good lines of each day, the first is EARLIEST_DAY
FIRST_DAY: Final = 17
LAST_DAY: Final = 18
HASH_STATE: Final = 19  # address of the 8 words of BLAKE2b after its key, of a hash, and of a block
HASH_RESULT, HASH_MESSAGE, HASH_WORDS = 8, 16, 32
STORE_WORDS: Final = 20

# The header of a text: its hash, its length << 2 | kind, its meaning.
TEXT_HASH, TEXT_KIND, MEANING, HEADER_WORDS = range(4)
COUNT_WORDS: Final = 7
LINES_COUNT, VIEWS, LIKES, DOWNLOADS, BYTES_SUM, REFERRALS, ROBOT_VIEWS = range(7)

# What a text means. Of a path: deed and photo as photo << 2 | deed. Of an agent: 1 for a robot's. Of a host: 1 for another
# site's. Of an address: the visitor.
UNKNOWN: Final = -1
NO_DEED, VIEW, LIKE, DOWNLOAD = range(4)
# A day before 1970 comes of an offset from UTC.
EARLIEST_DAY: Final = -1
LATEST_DAY: Final = 2_932_900
