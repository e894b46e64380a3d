package v1alpha1_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// testDocumented: what people copy out of the documentation and the samples, a real
// API server accepts.
func testDocumented(t *testing.T, c client.Client) {
	root := filepath.Join("..", "..")
	block := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")
	tried := map[string]int{}
	for _, pattern := range []string{"README.md", "docs/*.md", "config/samples/*.yaml", "e2e/shop/manifests/*.yaml"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files, %v", pattern, err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			texts := []string{string(raw)}
			if strings.HasSuffix(file, ".md") {
				texts = nil
				for _, found := range block.FindAllStringSubmatch(string(raw), -1) {
					texts = append(texts, found[1])
				}
			}
			for _, text := range texts {
				for _, document := range strings.Split(text, "\n---\n") {
					if kind := accepted(t, c, file, document); kind != "" {
						tried[kind]++
					}
				}
			}
		}
	}
	for _, kind := range []string{"Rollout", "AnalysisTemplate", "ClusterAnalysisTemplate", "MeshPolicy"} {
		if tried[kind] == 0 {
			t.Errorf("no %s is documented, or none was found: %v", kind, tried)
		}
	}
}

// accepted creates an object of ours, to no effect, and returns its kind; empty for
// anything else, such as a part of an object.
func accepted(t *testing.T, c client.Client, file, document string) string {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(document))
	if err != nil {
		return "" // It is shortened, for people.
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw); err != nil || !strings.HasPrefix(u.GetAPIVersion(), "crossfade.dev/") {
		return ""
	}
	u.SetNamespace("default")
	if strings.HasPrefix(u.GetKind(), "Cluster") || u.GetKind() == "Freeze" {
		u.SetNamespace("")
	}
	if u.GetName() == "" {
		u.SetName("documented")
	}
	if err := c.Create(t.Context(), u, client.DryRunAll); err != nil {
		t.Errorf("%s: %s %s is documented, and refused: %v", file, u.GetKind(), u.GetName(), err)
	}
	return u.GetKind()
}
