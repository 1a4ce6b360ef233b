package build

import (
	"fmt"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// Options is what engines are made from. Each engine reads what it needs.
type Options struct {
	// Package is the Go package to build, relative to the build context; ""
	// means the context itself.
	Package string
	// Env is the environment that the caller offers, as KEY=value. Children
	// get what environ.go lists of it.
	Env []string
}

// Engines lists the engines that this version has.
func Engines() []string { return []string{"go"} }

// New returns the engine with that name. It returns an *delivery.Error of
// KindRefused for an engine that slipway.yaml may name and this version does
// not have, of KindConfig for any other name.
func New(engine string, options Options) (delivery.Builder, error) {
	switch engine {
	case "go":
		return &Go{Package: options.Package, Env: options.Env}, nil
	case "docker", "buildkit":
		return nil, &delivery.Error{Kind: delivery.KindRefused, Op: "choosing the build engine",
			Err:   fmt.Errorf("this version of slipway does not have the engine %q", engine),
			Hints: []string{"set build.engine: go for agents written in Go; this version has: " + strings.Join(Engines(), ", ")}}
	}
	return nil, &delivery.Error{Kind: delivery.KindConfig, Op: "choosing the build engine",
		Err:   fmt.Errorf("there is no engine %q", engine),
		Hints: []string{"build.engine is one of: docker, buildkit, go"}}
}
