package needs_test

import (
	"slices"
	"testing"

	"github.com/slipway-cd/slipway/internal/needs"
)

// TestSample: of what is required nothing is left out.
func TestSample(t *testing.T) {
	cases := []int{0, 1, 2, 3, 4, 5, 6}
	t.Setenv(needs.Require, "go,matrix")
	if got := needs.Sample(t, "matrix", 3, cases); !slices.Equal(got, cases) {
		t.Errorf("the whole is %v", got)
	}
	if got := needs.Sample(t, "other", 3, cases); !slices.Equal(got, []int{0, 3, 6}) {
		t.Errorf("each third is %v", got)
	}
}
