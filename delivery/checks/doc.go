// Package checks turns what a user writes under analysis.checks into questions for a
// metrics source: templates are filled in (Resolve), the source that a check names
// becomes queries (Parse), and those get the names of a delivery (Questions.Render).
// It asks nobody and judges nothing; package metrics does the one, package delivery
// the other. All of it is pure, so that the same queries are shown before a delivery
// that are asked on its way.
package checks
