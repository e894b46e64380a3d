package proxy

import "strings"

// intersect returns the most general host name that both a listener and a route
// are for, and whether there is any. An empty name is for every host; a name with
// a leading wildcard ("*.example.com") for all hosts below, but not for
// example.com itself. The answer is in lower case, "*" when it is every host.
func intersect(listener, route string) (string, bool) {
	listener, route = strings.ToLower(listener), strings.ToLower(route)
	switch {
	case listener == "" && route == "":
		return "*", true
	case listener == "" || listener == route:
		return route, true
	case route == "" || covers(route, listener):
		return listener, true
	case covers(listener, route):
		return route, true
	default:
		return "", false
	}
}

// covers says whether every host of b is also one of a, a having a wildcard.
func covers(a, b string) bool {
	suffix, wildcard := strings.CutPrefix(a, "*")
	return wildcard && strings.HasSuffix(b, suffix)
}
