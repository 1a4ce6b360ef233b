package sim

import (
	"encoding/json"
	"testing"
)

func TestExactNames(t *testing.T) {
	var v struct {
		repositoryInput
		Tag   string `json:"imageTag"`
		Inner struct{ Name string }
		List  []imageID `json:"imageIds"`
		Limit *int
		Maps  []map[string]any
	}
	const body = `{"RepositoryName":"no","repositoryName":"yes","imagetag":"no","Inner":{"name":"no","Name":"yes"},
		"imageIds":[{"imageTag":"yes","ImageDigest":"no"}],"Limit":3,"Maps":[{"any":{"thing":1}}],"unknown":{}}`
	if err := exact([]byte(body), &v); err != nil {
		t.Fatal(err)
	}
	if v.RepositoryName != "yes" || v.Tag != "" || v.Inner.Name != "yes" || v.List[0] != (imageID{Tag: "yes"}) || *v.Limit != 3 || v.Maps[0]["any"] == nil {
		t.Errorf("read %+v", v)
	}
	for _, bad := range []string{`{`, `{} {}`, `[]`, `{"Inner":3}`, `{"imageIds":{}}`, `{"imageIds":["x"]}`} {
		if exact([]byte(bad), &v) == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

// TestCheckedAndUsedIsTheSame: what is judged by its exact name is used by it.
func TestCheckedAndUsedIsTheSame(t *testing.T) {
	var d document
	if err := json.Unmarshal([]byte(`{"agentRuntimeArtifact":{"containerConfiguration":{"containerUri":"good","CONTAINERURI":"bad"}},
		"lifecycleConfiguration":{"idleRuntimeSessionTimeout":60,"MAXLIFETIME":1},
		"protocolConfiguration":{"serverProtocol":"HTTP","PORT":22}}`), &d); err != nil {
		t.Fatal(err)
	}
	if uri := imageURI(d); uri != "good" {
		t.Errorf("the image is %s", uri)
	}
	if idle, life := lifecycle(d); idle != 60 || life != 28800 {
		t.Errorf("the limits are %d and %d", idle, life)
	}
	if port := contractOf(d).port; port != 8080 {
		t.Errorf("the port is %d", port)
	}
}
