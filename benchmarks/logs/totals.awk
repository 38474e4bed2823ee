# The table, from the sorted lines of signals.awk: what is of one photo on one day stands together, and in it each address.

BEGIN {
    FS = "\t"
    OFS = ","
    print "day,photo_id,views,unique_visitors,likes,downloads,bytes,external_referrals,robot_views"
}

{
    if ($2 != photo || $1 != day) {
        if (NR > 1) row()
        day = $1
        photo = $2
        address = ""
    }
    if ($3 == "") {
        count[$5] += $4
        next
    }
    views++
    bytes += $4
    external += $5
    if ($3 != address) {
        visitors++
        address = $3
    }
}

END {
    if (NR) row()
}

function row() {
    if (photo ~ /[",]/) {
        gsub(/"/, "\"\"", photo)
        photo = "\"" photo "\""
    }
    print day, photo, views + 0, visitors + 0, count["l"] + 0, count["d"] + 0, sprintf("%.0f", bytes), external + 0, count["r"] + 0
    views = bytes = external = visitors = count["l"] = count["d"] = count["r"] = 0
}
