"""The scan of a log, compiled: what `log_scan.scan_by_reference` says, some thirty times sooner.

`scanner` is the way in. `kernel` has the passes over a block of lines, `machine` the few instructions that numba has no
name for, `layout` where things stand in the memory that Python and kernel share, `memory` that memory; `object_code`
compiles the kernel once and keeps what came of it in a file.
"""
