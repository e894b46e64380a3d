// Package machine is what the cluster does to, and needs of, the machine that
// it runs on: links and routes, cgroups, processes, free disk, and the record
// of which checkout has which instance up.
package machine
