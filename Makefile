# Shorthands. Nothing needs them.
.PHONY: build test lint demo golden

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o slipway ./cmd/slipway

test:
	go test ./...

lint:
	golangci-lint run ./...

demo:
	go run ./cmd/slipway demo

# Rewrites golden files and generated docs; read the diff before committing.
golden:
	go test ./internal/cli ./internal/config ./internal/sim/assume ./internal/sim/judge ./internal/workflow/generate -update
