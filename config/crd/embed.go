// Package crd holds the definitions of Crossfade's kinds, as they are installed.
package crd

import "embed"

// Files are the definitions, one a file.
//
//go:embed crossfade.dev_*.yaml
var Files embed.FS
