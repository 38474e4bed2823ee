# Usage: sh pipeline.sh FOLDER PROCESSES FILES_OF_A_PROCESS FILE...
# FOLDER holds the robots' pattern and takes the parts. Each process reads its share of the files and sorts what it
# found; the sorted parts are merged and counted.
LC_ALL=C HERE=$(dirname "$0") FOLDER=$1 processes=$2 each=$3
export LC_ALL HERE FOLDER
shift 3
case $1 in
*.gz) READ='gzip -dc "$@" | mawk -v robots_file="$FOLDER/robots" -f "$HERE/signals.awk"' ;;
*) READ='mawk -v robots_file="$FOLDER/robots" -f "$HERE/signals.awk" "$@"' ;;
esac
rm -f "$FOLDER"/part.*
printf '%s\0' "$@" |
    xargs -0 -P"$processes" -n "$each" sh -c "$READ"' | sort --parallel=1 -S 200M -T "$FOLDER" -o "$FOLDER/part.$$"' sh
sort -m "$FOLDER"/part.* | mawk -f "$HERE/totals.awk"
