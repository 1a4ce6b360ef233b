package needs_test

import (
	"slices"
	"testing"

	"github.com/slipway-cd/slipway/internal/needs"
)

// TestSample: the shares of a required part are all of its cases, each once.
func TestSample(t *testing.T) {
	cases := []int{0, 1, 2, 3, 4, 5, 6}
	t.Setenv(needs.Require, "go,matrix")
	t.Setenv(needs.Share, "")
	if got := needs.Sample(t, "matrix", 3, cases); !slices.Equal(got, cases) || !needs.Whole("matrix") {
		t.Errorf("the whole is %v", got)
	}
	if got := needs.Sample(t, "other", 3, cases); !slices.Equal(got, []int{0, 3, 6}) || needs.Whole("other") {
		t.Errorf("each third is %v", got)
	}
	var all []int
	for _, share := range []string{"1/3", "2/3", "3/3"} {
		t.Setenv(needs.Share, share)
		all = append(all, needs.Sample(t, "matrix", 5, cases)...)
		if needs.Whole("matrix") {
			t.Errorf("%s is the whole", share)
		}
	}
	slices.Sort(all)
	if !slices.Equal(all, cases) {
		t.Errorf("the shares are %v", all)
	}
}
