package identity_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crossfade-dev/crossfade/proxy/identity"
)

func TestParseID(t *testing.T) {
	shop := identity.ID{TrustDomain: "cluster.local", Namespace: "shop", ServiceAccount: "payments"}
	cases := map[string]struct {
		reason, uri string
		want        identity.ID
		refused     bool
	}{
		"Plain":            {reason: "what String gives is read back", uri: shop.String(), want: shop},
		"DottedAccount":    {reason: "a ServiceAccount's name may have dots", uri: "spiffe://td/ns/a/sa/b.c-d.e", want: identity.ID{TrustDomain: "td", Namespace: "a", ServiceAccount: "b.c-d.e"}},
		"DottedNamespace":  {reason: "a namespace's name has none", uri: "spiffe://td/ns/a.b/sa/c", refused: true},
		"OtherScheme":      {reason: "only SPIFFE", uri: "https://td/ns/a/sa/b", refused: true},
		"UpperScheme":      {reason: "an id is compared as bytes, so there is one way to write it", uri: "SPIFFE://td/ns/a/sa/b", refused: true},
		"UpperTrustDomain": {reason: "as above", uri: "spiffe://TD/ns/a/sa/b", refused: true},
		"NoTrustDomain":    {reason: "an id of no mesh", uri: "spiffe:///ns/a/sa/b", refused: true},
		"LongTrustDomain":  {reason: "SPIFFE's bound", uri: "spiffe://" + strings.Repeat("a", 256) + "/ns/a/sa/b", refused: true},
		"Port":             {reason: "a trust domain is no host", uri: "spiffe://td:1/ns/a/sa/b", refused: true},
		"User":             {reason: "what stands before @ would be read past", uri: "spiffe://td@evil/ns/a/sa/b", refused: true},
		"Escaped":          {reason: "nothing is unescaped", uri: "spiffe://td/ns/a/sa/b%2fc", refused: true},
		"Query":            {reason: "no query", uri: "spiffe://td/ns/a/sa/b?c", refused: true},
		"Fragment":         {reason: "no fragment", uri: "spiffe://td/ns/a/sa/b#c", refused: true},
		"TrailingSlash":    {reason: "no further part", uri: "spiffe://td/ns/a/sa/b/", refused: true},
		"MorePath":         {reason: "no further part", uri: "spiffe://td/ns/a/sa/b/c", refused: true},
		"EmptyNamespace":   {reason: "each part is there", uri: "spiffe://td/ns//sa/b", refused: true},
		"EmptyAccount":     {reason: "each part is there", uri: "spiffe://td/ns/a/sa/", refused: true},
		"DotDot":           {reason: "a path that goes up would be somebody else's", uri: "spiffe://td/ns/a/sa/..", refused: true},
		"DashFirst":        {reason: "not a DNS label", uri: "spiffe://td/ns/-a/sa/b", refused: true},
		"DashLast":         {reason: "not a DNS subdomain", uri: "spiffe://td/ns/a/sa/b-", refused: true},
		"LongNamespace":    {reason: "63 at most", uri: "spiffe://td/ns/" + strings.Repeat("a", 64) + "/sa/b", refused: true},
		"LongAccount":      {reason: "253 at most", uri: "spiffe://td/ns/a/sa/" + strings.Repeat("b", 254), refused: true},
		"OtherWords":       {reason: "ns and sa are part of the form", uri: "spiffe://td/ns/a/user/b", refused: true},
		"Zero":             {reason: "a NUL ends a string for some", uri: "spiffe://td/ns/a/sa/b\x00", refused: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := identity.ParseID(tc.uri)
			if tc.refused {
				if err == nil || identity.ReasonOf(err) != identity.ReasonMalformed {
					t.Errorf("%s: ParseID(%q) = %v, %v; want it refused as malformed", tc.reason, tc.uri, got, err)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

// FuzzParseID: whatever is taken is written in the one way there is.
func FuzzParseID(f *testing.F) {
	for _, seed := range []string{"spiffe://cluster.local/ns/shop/sa/payments", "spiffe://", "spiffe://a/ns/b/sa/c.d", "spiffe:////////"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		id, err := identity.ParseID(uri)
		if err == nil && id.String() != uri {
			t.Errorf("%q was taken for %q", uri, id)
		}
	})
}
