//go:build race

package delivery

// stride is wider under the race detector, which makes each cell take six
// times as long: CI runs all of them without it besides.
const stride = 4
