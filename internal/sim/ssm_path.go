package sim

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
)

// pathPageSize is the most parameters that GetParametersByPath answers.
const pathPageSize = 10

func (c *Cloud) getParametersByPath(k *call) (any, error) {
	var in struct {
		Path             string
		Recursive        bool
		ParameterFilters []map[string]any
		WithDecryption   bool
		MaxResults       *int
		NextToken        string
	}
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	in.Path = strings.TrimSpace(in.Path)
	if err := checkParameterPath(in.Path); err != nil {
		return nil, err
	}
	if len(in.ParameterFilters) > 0 {
		return nil, noParameterFilters()
	}
	size, after, err := parameterPage(in.MaxResults, in.NextToken, pathPageSize)
	if err != nil {
		return nil, err
	}
	// "If a user has access to a path, then the user can access all levels of
	// that path": one question for all of them.
	prefix := strings.TrimSuffix(in.Path, "/")
	if err := c.mayUseParameter(k, "GetParametersByPath", prefix, keys{"ssm:Recursive": {strconv.FormatBool(in.Recursive)}}); err != nil {
		return nil, err
	}
	page, next := c.parametersAfter(k, after, size, func(name string) bool {
		rest, below := strings.CutPrefix(name, prefix+"/")
		if prefix == "" && !below { // names without a slash are on the first level
			rest, below = name, true
		}
		return below && (in.Recursive || !strings.Contains(rest, "/"))
	})
	views := []parameterView{}
	for _, p := range page {
		views = append(views, viewParameter(k, parameterRef{name: p.Name}, p.newest(), in.WithDecryption))
	}
	return withNextToken(views, next), nil
}

// checkParameterPath: a path is like the name of a parameter that begins with
// a slash, and may end with one.
func checkParameterPath(path string) error {
	if path == "/" {
		return nil
	}
	if !strings.HasPrefix(path, "/") {
		return ssmInvalid(`The parameter path has to begin with a forward slash, such as /finance/prod; '%s' does not.`, path)
	}
	return checkParameterName(strings.TrimSuffix(path, "/"))
}

// parameterMetadata is a ParameterMetadata: all but the value.
type parameterMetadata struct {
	Name             string
	ARN              string
	Type             string
	KeyID            string `json:"KeyId,omitempty"`
	LastModifiedDate float64
	LastModifiedUser string
	Description      string `json:",omitempty"`
	AllowedPattern   string `json:",omitempty"`
	Version          int64
	Tier             string
	Policies         []string
	DataType         string
}

func (c *Cloud) describeParameters(k *call) (any, error) {
	var in struct {
		Filters          []map[string]any
		ParameterFilters []map[string]any
		MaxResults       *int
		NextToken        string
		Shared           bool
	}
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	if len(in.Filters)+len(in.ParameterFilters) > 0 {
		return nil, noParameterFilters()
	}
	size, after, err := parameterPage(in.MaxResults, in.NextToken, parameterPageSize)
	if err != nil {
		return nil, err
	}
	if err := c.allowed(k.asker(), "ssm:DescribeParameters", "arn:aws:ssm:"+k.region+":"+k.account+":*", nil); err != nil {
		return nil, err
	}
	page, next := c.parametersAfter(k, after, size, func(string) bool { return !in.Shared }) // nobody shares any
	views := []parameterMetadata{}
	for _, p := range page {
		v := p.newest()
		view := parameterMetadata{Name: p.Name, ARN: k.parameterARN(p.Name), Type: v.Type, LastModifiedDate: epoch(v.Modified),
			LastModifiedUser: v.ModifiedBy, Description: v.Description, AllowedPattern: v.AllowedPattern,
			Version: v.Version, Tier: v.Tier, Policies: []string{}, DataType: "text"}
		if v.Type == "SecureString" {
			view.KeyID = defaultParameterKey
		}
		views = append(views, view)
	}
	return withNextToken(views, next), nil
}

func noParameterFilters() error {
	return faultf(http.StatusBadRequest, "InvalidFilterKey", "the local cloud does not implement filters of parameters")
}

func withNextToken(parameters any, next string) map[string]any {
	answer := map[string]any{"Parameters": parameters}
	if next != "" {
		answer["NextToken"] = next
	}
	return answer
}

// parameterPage reads the size of a page and the name that it comes after.
func parameterPage(maxResults *int, token string, most int) (size int, after string, err error) {
	size = most
	if maxResults != nil {
		size = *maxResults
	}
	if size < 1 || size > most {
		return 0, "", ssmInvalid("1 validation error detected: Value '%d' at 'maxResults' failed to satisfy constraint: Member must have value between 1 and %d", size, most)
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	after, ok := strings.CutPrefix(string(raw), "n")
	if err != nil || token != "" && !ok {
		return 0, "", faultf(http.StatusBadRequest, "InvalidNextToken", "The specified token isn't valid.")
	}
	return size, after, nil
}

// parametersAfter returns the next parameters by name that match, and the
// token of the page that follows, if there is one. The token is a name, so
// that what comes and goes meanwhile shifts nothing.
func (c *Cloud) parametersAfter(k *call, after string, size int, match func(name string) bool) (page []*parameter, next string) {
	prefix := k.parameterKey("")
	for _, key := range c.store.keysAfter(prefix, prefix+after) {
		name := strings.TrimPrefix(key, prefix)
		if !match(name) {
			continue
		}
		if len(page) == size {
			return page, base64.RawURLEncoding.EncodeToString([]byte("n" + page[size-1].Name))
		}
		if p, ok := c.loadParameter(k, name); ok { // unless it was deleted meanwhile
			page = append(page, p)
		}
	}
	return page, ""
}
