package sandbox

import (
	"context"
	"errors"
)

func newDocker(context.Context, string) (backend, error) {
	return nil, errors.New("no Docker")
}
