package build

import (
	"fmt"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// Options is what engines are made from. Each engine reads what it needs.
type Options struct {
	// Package is the Go package that the engine go builds, relative to the
	// build context; "" means the context itself.
	Package string
	// Dockerfile is what the engines docker and buildkit build.
	Dockerfile Dockerfile
	// Address and TLS say how the engine buildkit reaches its daemon.
	Address, TLS string
	// Env is the environment that the caller offers, as KEY=value. Children
	// get what environ.go lists of it.
	Env []string
}

// New returns the engine with that name: docker, buildkit or go. It returns an
// *delivery.Error of KindConfig for any other.
func New(engine string, options Options) (delivery.Builder, error) {
	switch engine {
	case "docker":
		return &Docker{Dockerfile: options.Dockerfile, Env: options.Env}, nil
	case "buildkit":
		return &Buildctl{Dockerfile: options.Dockerfile, Address: options.Address, TLS: options.TLS, Env: options.Env}, nil
	case "go":
		return &Go{Package: options.Package, Env: options.Env}, nil
	}
	return nil, &delivery.Error{Kind: delivery.KindConfig, Op: "choosing the build engine",
		Err:   fmt.Errorf("there is no engine %q", engine),
		Hints: []string{"build.engine is one of: docker, buildkit, go"}}
}
