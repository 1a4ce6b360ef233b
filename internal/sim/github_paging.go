package sim

import (
	"net/http"
	"strconv"
	"strings"
)

// githubPage is a part of a list: number of last, each of size.
type githubPage struct {
	body               any
	number, size, last int
}

// paged cuts a list as per_page and page ask (GitHub docs: using pagination in
// the REST API), most at a time at most, and puts the part into what wrap makes
// of it.
func paged[T any](k *githubCall, list []T, most int, wrap func(total int, part []T) any) githubPage {
	size, number := min(30, most), 1
	if n, err := strconv.Atoi(k.URL.Query().Get("per_page")); err == nil && n >= 1 {
		size = min(n, most)
	}
	if n, err := strconv.Atoi(k.URL.Query().Get("page")); err == nil && n >= 1 {
		number = n
	}
	last := max(1, (len(list)+size-1)/size)
	from := min(min(number-1, last)*size, len(list))
	return githubPage{wrap(len(list), list[from:min(from+size, len(list))]), number, size, last}
}

// counted wraps a list as most of GitHub's are: {"total_count": …, name: […]}.
func counted(name string) func(int, []map[string]any) any {
	return func(total int, part []map[string]any) any { return map[string]any{"total_count": total, name: part} }
}

// Most entries of a page.
const (
	mostPerPage      = 100
	mostVariablePage = 30 // GitHub docs: REST API endpoints for variables
)

// link says where the next page is. Its address names the repository by id, as
// GitHub's do.
func (p githubPage) link(k *githubCall, h http.Header) {
	if p.number >= p.last {
		return
	}
	at := func(number int) string {
		query := k.URL.Query()
		query.Set("page", strconv.Itoa(number))
		query.Set("per_page", strconv.Itoa(p.size))
		return "<" + k.address(k.byID(k.repo)) + "?" + query.Encode() + ">"
	}
	h.Set("Link", at(p.number+1)+`; rel="next", `+at(p.last)+`; rel="last"`)
}

// byID is the call's path with the repository's id in place of its names.
func (k *githubCall) byID(r Repository) string {
	path := strings.TrimPrefix(k.URL.EscapedPath(), "/api/v3")
	parts := strings.SplitN(path, "/", 5)
	if len(parts) < 4 || parts[1] != "repos" {
		return path
	}
	return strings.Join(append([]string{"", "repositories", r.ID}, parts[4:]...), "/")
}

// address is a URL of the API.
func (k *githubCall) address(path string) string { return "http://" + k.Host + "/api/v3" + path }
