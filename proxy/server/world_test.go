package server

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWorldShares checks that equal content keeps its pointer, so that all streams share one copy however often the same
// is rendered anew.
func TestWorldShares(t *testing.T) {
	first := newWorld(nil, parse("CDS a@1 b@1; EDS a@1; LDS; RDS"))
	second := newWorld(first, parse("CDS a@1 b@2 c@1; EDS; LDS; RDS"))
	if first.all[clusters]["a"] != second.all[clusters]["a"] {
		t.Error("the unchanged cluster a is held twice")
	}
	want := [kinds][]string{clusters: {"b", "c"}, endpoints: {"a"}}
	if d := cmp.Diff(want, second.changed); d != "" {
		t.Errorf("changed: -want +got\n%s", d)
	}
	if first.version(clusters) == second.version(clusters) {
		t.Error("another content has the same version")
	}
	back := newWorld(second, parse("CDS a@1 b@1; EDS a@1; LDS; RDS"))
	for k := range kinds {
		if back.version(k) != first.version(k) {
			t.Errorf("the same %s has another version after a way back", short[k])
		}
	}
	if newWorld(back, parse("CDS a@1 b@1; EDS a@1; LDS; RDS")).differs() {
		t.Error("an equal world differs")
	}
}

// TestWorldRemembers checks that replaced versions of a route stay known for a while, and are forgotten in the end.
func TestWorldRemembers(t *testing.T) {
	w := newWorld(nil, parse("CDS; EDS; LDS; RDS r@0"))
	for _, version := range []string{"1", "2", "3", "4", "5"} {
		w = newWorld(w, parse("CDS; EDS; LDS; RDS r@"+version))
	}
	var known []string
	for _, r := range w.recent["r"] {
		known = append(known, r.Version)
	}
	if d := cmp.Diff([]string{"1", "2", "3", "4"}, known); d != "" {
		t.Errorf("known: -want +got\n%s", d)
	}
	w = newWorld(w, parse("CDS; EDS; LDS; RDS s@1"))
	if len(w.recent["r"]) == 0 {
		t.Error("a route that was just removed is forgotten at once")
	}
	w = newWorld(newWorld(w, parse("CDS; EDS; LDS; RDS s@2")), parse("CDS; EDS; LDS; RDS s@3"))
	if len(w.recent["r"]) > 0 {
		t.Error("a removed route is remembered for ever")
	}
}
