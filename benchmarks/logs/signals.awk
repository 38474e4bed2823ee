# One line for each view, like, download and robot's view: day, photo, address, bytes, whether referred from elsewhere.
# A line without an address counts the letter in its last field. Run as mawk -v robots_file=... -f signals.awk FILES.
# The usual line goes through cheap patterns on the fields between quotes; whatever they do not match is read carefully.

BEGIN {
    FS = "\""
    OFS = "\t"
    getline robots < robots_file
    count = split("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec", names, " ")
    for (i = 1; i <= count; i++) month[names[i]] = i
    split("31 28 31 30 31 30 31 31 30 31 30 31", days_of, " ")
    for (i = 0; i < 256; i++) {
        high = int(i / 16)
        low = i % 16
        byte = sprintf("%c", i)
        hex[sprintf("%x%x", high, low)] = hex[sprintf("%X%X", high, low)] = byte
        hex[sprintf("%x%X", high, low)] = hex[sprintf("%X%x", high, low)] = byte
    }
    # no line holds this, so the first one looks up its hour
    hour = zone = "\n"
}

NF != 7 {
    if (/\/photos\/|%/) careful($0)
    next
}

$2 ~ /^GET \/photos\/[0-9A-Za-z_-]+\.([jJ][pP][gG]|jpeg|png|gif|webp|avif|heic|bmp|tiff?)(\?[^ \\]*)? HTTP\/[0-9](\.[0-9])?$/ && $3 ~ /^ (200|206|304) ([0-9]+|-) $/ {
    if ($1 !~ /^[0-9A-Fa-f.:]+ - - \[[0-9][0-9]\/[A-Z][a-z][a-z]\/[0-9][0-9][0-9][0-9]:[0-9][0-9]:[0-5][0-9]:[0-5][0-9] [-+][0-9][0-9]00\] $/ || $5 != " " || $7 != "" || length($3) > 18) {
        careful($0)
        next
    }
    if (!index($1, hour) || !index($1, zone)) new_hour()
    if ((who = agent[$6]) == "") who = agent[$6] = who_is($6)
    if (who == "?") {
        careful($0)
        next
    }
    if (day == "") next
    if (who == "robot") {
        print day substr($2, 13, index($2, ".") - 13), "", 1, "r"
        next
    }
    if (index($4, "https://photos.example/") == 1) {
        print day substr($2, 13, index($2, ".") - 13), substr($1, 1, index($1, " ") - 1), substr($3, 6)
        next
    }
    if ((from = foreign[$4]) == "") from = foreign[$4] = is_foreign($4)
    print day substr($2, 13, index($2, ".") - 13), substr($1, 1, index($1, " ") - 1), substr($3, 6), from
    next
}

$2 ~ /^(GET|POST) \/photos\/[^\/?]+(\.|\/like|\/download)/ || index($2, "%") {
    if ($2 ~ /^(POST \/photos\/[0-9A-Za-z_-]+\/like|GET \/photos\/[0-9A-Za-z_-]+\/download) HTTP\/[0-9](\.[0-9])?$/) {
        split($2, part, "/")
        deed = substr(part[4], 1, 1) part[3]
    } else if ((deed = deeds[$2]) == "") {
        if (++cached > 100000) {
            delete deeds
            cached = 0
        }
        deed = deeds[$2] = deed_of($2)
    }
    if (deed != "-") usual_rest()
}

# A line whose request is already understood, if the rest is as usual.
function usual_rest(   kind) {
    if ($1 !~ /^[0-9A-Fa-f.:]+ - - \[[0-9][0-9]\/[A-Z][a-z][a-z]\/[0-9][0-9][0-9][0-9]:[0-9][0-9]:[0-5][0-9]:[0-5][0-9] [-+][0-9][0-9]00\] $/ || $3 !~ /^ [0-9][0-9][0-9] ([0-9]+|-) $/ || $5 != " " || $7 != "" || length($3) > 18 || $2 ~ /\\$/) {
        careful($0)
        return
    }
    if (!index($1, hour) || !index($1, zone)) new_hour()
    if ((who = agent[$6]) == "") who = agent[$6] = who_is($6)
    if (who == "?") careful($0)
    else if (day != "") tell(day, deed, substr($3, 2, 3), who, substr($1, 1, index($1, " ") - 1), substr($3, 6), $4)
}

# Any line at all, by the whole grammar.
function careful(line,   head, request, answer, referrer, who, d) {
    sub(/[ \t\r\f\v]+$/, "", line)
    if (!match(line, /^[!#-Z^-~]+ [^ \t\r\f\v]+ [^ \t\r\f\v]+ \[[0-9][0-9]\/[A-Z][a-z][a-z]\/[0-9][0-9][0-9][0-9]:[0-9][0-9]:[0-9][0-9]:[0-9][0-9] [-+][0-9][0-9][0-9][0-9]\] "/)) return
    head = substr(line, 1, RLENGTH - 1)
    line = substr(line, RLENGTH + 1)
    if (!match(line, /^([^"\\]|\\.)*"/)) return
    request = substr(line, 1, RLENGTH - 1)
    line = substr(line, RLENGTH + 1)
    if (!match(line, /^ [0-9][0-9][0-9] ([0-9]+|-)/) || RLENGTH > 17) return
    answer = substr(line, 2, RLENGTH - 1)
    line = substr(line, RLENGTH + 1)
    who = "person"
    if (line != "") {
        if (!match(line, /^ "([^"\\]|\\.)*" "/)) return
        referrer = substr(line, 3, RLENGTH - 5)
        line = substr(line, RLENGTH + 1)
        if (!match(line, /^([^"\\]|\\.)*"/)) return
        who = robot_or_person(substr(line, 1, RLENGTH - 1))
        if (substr(line, RLENGTH + 1) !~ /^( |$)/) return
    }
    if (substr(head, length(head) - 9, 2) > "60") return
    d = day_of(substr(head, length(head) - 27, 17) substr(head, length(head) - 6, 5))
    if (d != "") tell(d, deed_of(request), substr(answer, 1, 3), who, substr(head, 1, index(head, " ") - 1), substr(answer, 5), referrer)
}

function tell(d, deed, status, who, address, size, referrer,   kind, photo) {
    kind = substr(deed, 1, 1)
    photo = substr(deed, 2)
    if (kind == "v" && status ~ /200|206|304/) {
        if (who == "robot") print d photo, "", 1, "r"
        else print d photo, address, size, is_foreign(referrer)
    } else if (kind ~ /[ld]/ && status ~ /^2/ && who == "person") print d photo, "", 1, kind
}

function new_hour(   blank) {
    blank = index($1, " ")
    hour = substr($1, blank, 21)
    zone = substr($1, blank + 26)
    day = day_of(substr(hour, 7, 15) "00" substr(zone, 2, 5))
}

# A backslash at the end has escaped the quote: the field goes on.
function who_is(agent) {
    if (match(agent, /\\+$/) && RLENGTH % 2) return "?"
    return robot_or_person(agent)
}

function robot_or_person(agent) {
    sub(/^[ \t\r\f\v]+/, "", agent)
    sub(/[ \t\r\f\v]+$/, "", agent)
    if (agent == "" || agent == "-") return "robot"
    return substr(agent, 1, 1000) ~ robots ? "robot" : "person"
}

function is_foreign(referrer) {
    referrer = tolower(referrer)
    if (!sub(/^https?:\/\//, "", referrer)) return 0
    sub(/^[^\/?#@]*@/, "", referrer)
    sub(/[\/?#].*/, "", referrer)
    if (referrer !~ /^\[/) sub(/:.*/, "", referrer)
    if (referrer == "") return 0
    sub(/\.+$/, "", referrer)
    return referrer != "photos.example"
}

# The UTC day of 04/Sep/2026:01:59+0200, with the tab that follows it; nothing if there is no such time.
function day_of(time,   d, m, y, minutes, ahead) {
    d = substr(time, 1, 2) + 0
    m = month[substr(time, 4, 3)]
    y = substr(time, 8, 4) + 0
    if (!m || d < 1 || d > length_of(y, m) || y < 1970 || y >= 9999) return ""
    if (substr(time, 13, 2) > 23 || substr(time, 16, 2) > 59 || substr(time, 19, 2) > 15 || substr(time, 21) > 59) return ""
    ahead = substr(time, 19, 2) * 60 + substr(time, 21)
    minutes = substr(time, 13, 2) * 60 + substr(time, 16, 2) + (substr(time, 18, 1) == "-" ? ahead : -ahead)
    if (minutes < 0 && --d < 1) {
        if (--m < 1) {
            m = 12
            y--
        }
        d = length_of(y, m)
    }
    if (minutes >= 1440 && ++d > length_of(y, m)) {
        d = 1
        if (++m > 12) {
            m = 1
            y++
        }
    }
    return sprintf("%04d-%02d-%02d\t", y, m, d)
}

function length_of(y, m) {
    return days_of[m] + (m == 2 && (y % 4 == 0 && y % 100 || y % 400 == 0))
}

# v, l or d with the photo's id, or a dash when the request does nothing to a photo.
function deed_of(request,   post, mark) {
    if (request ~ /^GET [^ \t\r\f\v]/) request = substr(request, 5)
    else if (request ~ /^POST [^ \t\r\f\v]/) {
        post = 1
        request = substr(request, 6)
    } else return "-"
    sub(/ HTTP\/[0-9](\.[0-9])?$/, "", request)
    if (mark = index(request, "?")) request = substr(request, 1, mark - 1)
    if (index(request, "%")) request = decoded(request)
    if (request !~ /^\/photos\/[^\/]/) return "-"
    request = substr(request, 9)
    if (request ~ /[^ -~]/ && !printable(request)) return "-"
    if (post) return request ~ /^[^\/]+\/like$/ ? "l" substr(request, 1, length(request) - 5) : "-"
    if (request ~ /^[^\/]+\/download$/) return "d" substr(request, 1, length(request) - 9)
    if (index(request, "/") || !match(tolower(request), /.\.(jpg|jpeg|png|gif|webp|avif|heic|bmp|tif|tiff)$/)) return "-"
    return "v" substr(request, 1, RSTART)
}

function decoded(path,   done, at) {
    while (at = index(path, "%")) {
        if (substr(path, at + 1, 2) in hex) {
            done = done substr(path, 1, at - 1) hex[substr(path, at + 1, 2)]
            path = substr(path, at + 3)
        } else {
            done = done substr(path, 1, at)
            path = substr(path, at + 1)
        }
    }
    return done path
}

# UTF-8 without control characters. Surrogates and invisible characters beyond ASCII are not looked for.
function printable(text) {
    if (text ~ /[\001-\037\177]/ || index(text, sprintf("%c", 0))) return 0
    gsub(/[\302-\337][\200-\277]|[\340-\357][\200-\277][\200-\277]|[\360-\364][\200-\277][\200-\277][\200-\277]/, "", text)
    return text !~ /[\200-\377]/
}
