// Package build turns a commit into an OCI image, and finds the commit.
//
// Each engine is a delivery.Builder in a file of its own. go is `go build` and
// a single layer, with no daemon and for any Linux architecture. docker and
// buildkit build a Dockerfile through the programs docker and buildctl, and
// keep the image in files until it is closed. They share the Dockerfile's
// settings (dockerfile.go, secret.go), how progress is read (steps.go) and how
// failures are told (explain.go).
//
// What it refuses: to hand its children an environment it was not given and
// has not sifted. No AWS or GitHub credential reaches a compiler or a
// container's build (environ.go lists what does); a secret goes where
// slipway.yaml says and is hidden in everything that is told. It pushes
// nothing and chooses no platform.
package build
