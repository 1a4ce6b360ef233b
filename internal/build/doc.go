// Package build turns a commit into an OCI image, and finds the commit.
//
// Each engine is a delivery.Builder in a file of its own. This version has
// one, go: `go build` and a single layer, with no daemon and for any Linux
// architecture. The same commit yields the same digest wherever the same
// Slipway and the same Go build it.
//
// What it refuses: to hand its children an environment it was not given and
// has not sifted. No AWS or GitHub credential reaches a compiler (environ.go
// lists what does). It pushes nothing, chooses no platform and leaves no file
// behind.
package build
