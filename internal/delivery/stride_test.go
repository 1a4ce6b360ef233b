//go:build !race

package delivery

// stride is how far apart the calls are that the fault matrix looks at: each.
const stride = 1
