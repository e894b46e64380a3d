# Makes one table of the lines that go test printed for the benchmarks of one run.
#   BenchmarkPush/crossfade/1000-2   1   77.1 p50-ms   92 cpu-ms/push
# A benchmark whose name has the part "crossfade" is compared with those of the same name but for that part; a
# ratio of 2x says that the other needs twice as much. A measurement without another stands alone.

/^Benchmark/ && NF >= 4 {
	name = $1
	sub(/^Benchmark/, "", name)
	sub(/-[0-9]+$/, "", name)  # The number of processors.
	single = 0
	for (i = 4; i <= NF; i += 2) single = single || $i == "ns/op"
	for (i = 3; i < NF; i += 2) record(name, $i, $(i + 1))
}

function record(name, value, unit,    parts, n, i, key, who) {
	n = split(name, parts, "/")
	who = ""
	key = parts[1]
	for (i = 2; i <= n; i++) {
		if (parts[i] == "crossfade" || parts[i] ~ /^SnapshotCache/) who = parts[i]
		else key = key "/" parts[i]
	}
	# What is measured in a process of its own has its own units; go test's are about the one that drives it.
	if ((!single || who != "") && (unit == "ns/op" || unit == "B/op" || unit == "allocs/op")) return
	if (!((key, unit) in seen)) {
		seen[key, unit] = 1
		rows[++count] = key SUBSEP unit
	}
	if (who == "" || who == "crossfade") ours[key, unit] = value
	else others[key, unit] = others[key, unit] (others[key, unit] == "" ? "" : "\n") who " " value
}

END {
	if (count == 0) {
		print "no benchmark has run" > "/dev/stderr"
		exit 1
	}
	line = "%-34s %-16s %12s  %12s %7s  %s\n"
	printf line, "benchmark", "unit", "ours", "other", "ratio", "compared with"
	for (r = 1; r <= count; r++) {
		split(rows[r], id, SUBSEP)
		mine = ours[id[1], id[2]]
		n = split(others[id[1], id[2]], list, "\n")
		if (n == 0) printf line, id[1], id[2], human(mine), "", "", ""
		for (i = 1; i <= n; i++) {
			split(list[i], other, " ")
			ratio = mine > 0 ? sprintf("%.1fx", other[2] / mine) : ""
			gsub(/-/, " ", other[1])
			printf line, id[1], id[2], human(mine), human(other[2]), ratio, other[1]
		}
	}
}

# Three digits say all that one run can.
function human(v) { return v == "" ? "" : v >= 100 || v == int(v) ? sprintf("%.0f", v) : sprintf("%.3g", v) }
