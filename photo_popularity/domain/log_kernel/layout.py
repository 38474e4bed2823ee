"""Where things stand in the memory that the compiled kernel and Python share. Numbers alone, known to both."""

from __future__ import annotations

from typing import Final

# What `work` can be asked for.
(
    PARSE_BLOCK,
    FIND_TEXTS,
    COUNT_BLOCK,
    FILL_TEXTS,
    FILL_ROWS,
    FILL_VISITORS,
    FILL_PHOTOS,
    FIND_PHOTO,
    ABSORB_KEY,
) = range(9)

# The words of a block: what `parse_block` reads and writes.
BUFFER: Final = 0  # address of the lines
LENGTH: Final = 1  # bytes of them
TOKENS: Final = 2  # address: where quotes, backslashes and newlines stand
RECORDS: Final = 3  # address of RECORD_WORDS words for each line that may count for a photo
RECORD_COUNT: Final = 4
REJECTS: Final = 5  # address of REJECT_WORDS words of 32 bits for each line that is in no known format
REJECT_COUNT: Final = 6
DAY_RUNS: Final = 7  # address of (day, good lines) for each stretch of lines of one day
DAY_RUN_COUNT: Final = 8
LINES: Final = 9
FIRST_MOMENT: Final = 10
LAST_MOMENT: Final = 11
FIELDS: Final = 12  # address of FIELD_WORDS words: the fields of the line at hand
CLOCK: Final = 13  # address of CLOCK_WORDS words: the minute last seen, and when it starts
SEED: Final = 14  # of the hashes of texts
RULES: Final = 15  # address of the site's rules
BLOCK_WORDS: Final = 16

# The site's rules, where the kernel can tell a deed by them: a path is `before`, the photo, `after` and, of a view, a dot
# and an extension. Each pattern has the addresses and lengths of the two; the extensions are words of up to 8 bytes.
ARE_PLAIN: Final = 0
EXTENSION_COUNT: Final = 1
PATTERNS: Final = 2
BEFORE, BEFORE_BYTES, AFTER, AFTER_BYTES, PATTERN_WORDS = range(5)
EXTENSIONS: Final = PATTERNS + 3 * PATTERN_WORDS

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
PHOTO: Final = 10  # and where it ends
FIELD_WORDS: Final = 12
CLOCK_WORDS: Final = 5

# A record: four texts follow, each as its hash (later its place in the arena) and its span. The first is the photo where
# the kernel can tell the deed (later its number), else the path.
DAY: Final = 0
DEED: Final = (
    1  # what was done; UNKNOWN where Python has to say it; NO_DEED in a record that counts for nothing
)
STATUS_BITS: Final = 2  # VIEW_STATUS and DEED_STATUS
BYTES: Final = 3
TEXTS: Final = 4
PATH_TEXT, AGENT_TEXT, HOST_TEXT, ADDRESS_TEXT = range(4)
PHOTO_KIND: Final = 4  # sets the hashes of photos apart
SUBJECT: Final = PATH_TEXT  # the place that a path and a photo share
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
ROWS: Final = 7  # address of ROW_WORDS words for each row, a line of the cache
ROW_COUNT: Final = 8
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
NEW_TEXTS: Final = 20  # address of the places of texts that Python has to say the meaning of
NEW_TEXT_COUNT: Final = 21
PHOTO_SLOTS: Final = 22  # of the photos' numbers
PHOTO_MASK: Final = 23
PHOTO_COUNT: Final = 24
PHOTOS: Final = 25  # address of hash and start of each photo's name, and of where the next one starts
PHOTO_NAMES: Final = 26  # address of the bytes of all names
ASKED_NAME: Final = 27  # address of a name whose number is asked for
ASKED_BYTES: Final = 28  # its length, then its number
STORE_SEED: Final = 29
STORE_WORDS: Final = 30
PHOTO_HASH, PHOTO_START, PHOTO_WORDS = range(3)

# The header of a text: its hash, its length << KIND_BITS | kind, its meaning.
TEXT_HASH, TEXT_KIND, MEANING, HEADER_WORDS = range(4)
KIND_BITS: Final = 2

# A row: what it counts, and day << 32 | photo.
LINES_COUNT, VIEWS, LIKES, DOWNLOADS, BYTES_SUM, REFERRALS, ROBOT_VIEWS, ROW_KEY, ROW_WORDS = range(9)

# What a text means. Of a path: photo << DEED_BITS | deed. Of an agent: 1 for a robot's. Of a host: 1 for another site's.
# Of an address: the visitor.
UNKNOWN: Final = -1
NO_DEED, VIEW, LIKE, DOWNLOAD = range(4)
DEED_BITS: Final = 2
DEED_MASK: Final = (1 << DEED_BITS) - 1
# A day before 1970 comes of an offset from UTC.
EARLIEST_DAY: Final = -1
LATEST_DAY: Final = 2_932_900
