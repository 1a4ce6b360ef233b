package cli

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// TestHugeHeaders: the program reads no more of a request's headers than it
// says, and goes on.
func TestHugeHeaders(t *testing.T) {
	s := upCloud(t, filepath.Join(t.TempDir(), "cloud"))
	for size, want := range map[int]int{maxHeader / 2: http.StatusUnauthorized, 2 * maxHeader: http.StatusRequestHeaderFieldsTooLarge} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.base+"/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Long", strings.Repeat("x", size))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%d bytes: %s, want %d", size, resp.Status, want)
		}
	}
}
