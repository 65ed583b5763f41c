package catalogue

import (
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/verify-webhook/caddy-verify-webhook/provider"
)

// snsRegionCases contains the certificate names from SnsHostProviderTest in Amazon's
// Java library, and the hosts from botocore/data/endpoints.json.
var snsRegionCases = []struct{ partition, region, host, name string }{
	{"aws", "us-east-1", "sns.us-east-1.amazonaws.com", "sns.amazonaws.com"},
	{"aws", "us-west-1", "sns.us-west-1.amazonaws.com", "sns.amazonaws.com"},
	{"aws", "eu-central-1", "sns.eu-central-1.amazonaws.com", "sns.amazonaws.com"},
	{"aws", "ap-northeast-3", "sns.ap-northeast-3.amazonaws.com", "sns.amazonaws.com"},
	{"aws", "ap-east-1", "sns.ap-east-1.amazonaws.com", "sns-signing.ap-east-1.amazonaws.com"},
	{"aws", "ap-east-2", "sns.ap-east-2.amazonaws.com", "sns-signing.ap-east-2.amazonaws.com"},
	{"aws", "ap-south-2", "sns.ap-south-2.amazonaws.com", "sns-signing.ap-south-2.amazonaws.com"},
	{"aws", "ap-southeast-3", "sns.ap-southeast-3.amazonaws.com", "sns-signing.ap-southeast-3.amazonaws.com"},
	{"aws", "ap-southeast-4", "sns.ap-southeast-4.amazonaws.com", "sns-signing.ap-southeast-4.amazonaws.com"},
	{"aws", "ap-southeast-5", "sns.ap-southeast-5.amazonaws.com", "sns-signing.ap-southeast-5.amazonaws.com"},
	{"aws", "ap-southeast-6", "sns.ap-southeast-6.amazonaws.com", "sns-signing.ap-southeast-6.amazonaws.com"},
	{"aws", "ap-southeast-7", "sns.ap-southeast-7.amazonaws.com", "sns-signing.ap-southeast-7.amazonaws.com"},
	{"aws", "me-south-1", "sns.me-south-1.amazonaws.com", "sns-signing.me-south-1.amazonaws.com"},
	{"aws", "me-central-1", "sns.me-central-1.amazonaws.com", "sns-signing.me-central-1.amazonaws.com"},
	{"aws", "eu-south-1", "sns.eu-south-1.amazonaws.com", "sns-signing.eu-south-1.amazonaws.com"},
	{"aws", "eu-south-2", "sns.eu-south-2.amazonaws.com", "sns-signing.eu-south-2.amazonaws.com"},
	{"aws", "eu-central-2", "sns.eu-central-2.amazonaws.com", "sns-signing.eu-central-2.amazonaws.com"},
	{"aws", "af-south-1", "sns.af-south-1.amazonaws.com", "sns-signing.af-south-1.amazonaws.com"},
	{"aws", "il-central-1", "sns.il-central-1.amazonaws.com", "sns-signing.il-central-1.amazonaws.com"},
	{"aws", "ca-west-1", "sns.ca-west-1.amazonaws.com", "sns-signing.ca-west-1.amazonaws.com"},
	{"aws", "mx-central-1", "sns.mx-central-1.amazonaws.com", "sns-signing.mx-central-1.amazonaws.com"},
	{"aws-us-gov", "us-gov-west-1", "sns.us-gov-west-1.amazonaws.com", "sns-us-gov-west-1.amazonaws.com"},
	{"aws-us-gov", "us-gov-east-1", "sns.us-gov-east-1.amazonaws.com", "sns-us-gov-west-1.amazonaws.com"},
	{"aws-cn", "cn-north-1", "sns.cn-north-1.amazonaws.com.cn", "sns-cn-north-1.amazonaws.com.cn"},
	{"aws-cn", "cn-northwest-1", "sns.cn-northwest-1.amazonaws.com.cn", "sns-cn-northwest-1.amazonaws.com.cn"},
	{"aws-cn", "cn-northwest-9", "sns.cn-northwest-9.amazonaws.com.cn", "sns.amazonaws.com.cn"},
	{"aws-iso", "us-iso-east-1", "sns.us-iso-east-1.c2s.ic.gov", "sns-us-iso-east-1.c2s.ic.gov"},
	{"aws-iso-b", "us-isob-east-1", "sns.us-isob-east-1.sc2s.sgov.gov", "sns-us-isob-east-1.sc2s.sgov.gov"},
	{"aws-iso-f", "us-isof-east-1", "sns.us-isof-east-1.csp.hci.ic.gov", "sns-signing.us-isof-east-1.csp.hci.ic.gov"},
	{"aws-iso-f", "us-isof-south-1", "sns.us-isof-south-1.csp.hci.ic.gov", "sns-signing.us-isof-south-1.csp.hci.ic.gov"},
	{"aws-iso-e", "eu-isoe-west-1", "sns.eu-isoe-west-1.cloud.adc-e.uk", "sns-signing.eu-isoe-west-1.cloud.adc-e.uk"},
	{"aws-eusc", "eusc-de-east-1", "sns.eusc-de-east-1.amazonaws.eu", "sns-signing.eusc-de-east-1.amazonaws.eu"},
	// Invented regions, in place of future ones.
	{"aws", "us-east-9", "sns.us-east-9.amazonaws.com", "sns.amazonaws.com"},
	{"aws", "sa-west-1", "sns.sa-west-1.amazonaws.com", "sns-signing.sa-west-1.amazonaws.com"},
}

// oneKey creates certificates with a shared key, because generating keys is slow.
type oneKey struct{ key *rsa.PrivateKey }

var sharedSigner oneKey

func (o *oneKey) named(t *testing.T, name string) *signer {
	t.Helper()
	if o.key == nil {
		o.key = newSigner(t, "x", nil, testNow.Add(time.Hour)).key
	}
	return certificateFor(t, o.key, name, nil, testNow.Add(time.Hour))
}

func snsTopicIn(partition, region string) string {
	return "arn:" + partition + ":sns:" + region + ":123456789012:T"
}

// TestSNSCertificateNameMatchesTheTopicRegion checks a configured certificate with and
// without a configured root.
func TestSNSCertificateNameMatchesTheTopicRegion(t *testing.T) {
	for i, c := range snsRegionCases {
		topic := snsTopicIn(c.partition, c.region)
		by := sharedSigner.named(t, c.name)
		path := fmt.Sprintf("/SimpleNotificationService-%032x.pem", 0xabc000+i)
		body := snsBody(t, by, "Notification", map[string]string{"TopicArn": topic, "SigningCertURL": "https://" + c.host + path})

		configured := setUp(t, "aws-sns", "", provider.PresetOptions{Topics: []string{topic}, Certificates: []string{by.cert}})
		if _, err := verify(t, configured, request("POST", "/s", body)); err != nil {
			t.Errorf("%s: %v", c.region, err)
		}
		withRoot := setUp(t, "aws-sns", "", provider.PresetOptions{Topics: []string{topic}, Certificates: []string{by.cert}, Roots: []string{by.cert}})
		if _, err := verify(t, withRoot, request("POST", "/s", body)); err != nil {
			t.Errorf("%s, with a root: %v", c.region, err)
		}
	}
}

func TestSNSCertificateIsFetchedFromTheHostOfTheTopicRegion(t *testing.T) {
	for _, c := range snsRegionCases {
		if got := snsHost(snsTopicIn(c.partition, c.region)); got != c.host {
			t.Errorf("%s: certificates come from %q, want %q", c.region, got, c.host)
		}
	}
	const region, host = "me-fetch-1", "sns.me-fetch-1.amazonaws.com" // used by no other test, because fetched keys are cached
	by := newSigner(t, "sns-signing."+region+".amazonaws.com", nil, testNow.Add(time.Hour))
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != host {
			t.Errorf("a certificate was fetched from %s", r.Host)
		}
		_, _ = w.Write([]byte(by.cert))
	}))
	t.Cleanup(server.Close)
	redirectDefaultTransport(t, server)
	m := setUp(t, "aws-sns", "", provider.PresetOptions{Topics: []string{snsTopicIn("aws", region)}})
	address := "https://" + host + fmt.Sprintf("/SimpleNotificationService-%032x.pem", 0xfee1)
	if _, err := verify(t, m, request("POST", "/s", snsBody(t, by, "Notification", map[string]string{"TopicArn": snsTopicIn("aws", region), "SigningCertURL": address}))); err != nil {
		t.Error(err)
	}
}

// TestSNSCertificateNamedForAnotherRegionIsRefused: the reason contains the name of the
// certificate and the expected name.
func TestSNSCertificateNamedForAnotherRegionIsRefused(t *testing.T) {
	for _, c := range snsRegionCases {
		topic := snsTopicIn(c.partition, c.region)
		for _, name := range []string{
			"sns-signing.xx-other-1.amazonaws.com", "sns.s3.amazonaws.com", "evil.sns.amazonaws.com", "sns.amazonaws.com.test", "sns." + c.region + ".test", c.name + ".t",
		} {
			by := sharedSigner.named(t, name)
			m := setUp(t, "aws-sns", "", provider.PresetOptions{Topics: []string{topic}, Certificates: []string{by.cert}})
			body := snsBody(t, by, "Notification", map[string]string{"TopicArn": topic, "SigningCertURL": "https://" + c.host + "/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"})
			_, err := verify(t, m, request("POST", "/s", body))
			if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), c.name) {
				t.Errorf("%s: a certificate for %s: %v", c.region, name, err)
			}
		}
	}
}

// TestSNSInvalidTopicARNIsRejected: certificate hosts are derived from the
// configured topic and never from the message.
func TestSNSInvalidTopicARNIsRejected(t *testing.T) {
	for _, topic := range []string{
		"arn:aws:sns:cn-north-1:123456789012:T", "arn:aws-cn:sns:us-east-1:123456789012:T", "arn:aws-us-gov:sns:us-east-1:123456789012:T", "arn:aws:sns:us-gov-west-1:123456789012:T",
		"arn:aws-iso:sns:us-isob-east-1:123456789012:T", "arn:aws-evil:sns:us-east-1:123456789012:T", "arn:aws:sns:s3-us-west-2:123456789012:T", "arn:aws:sns:us-east-1.evil.test:123456789012:T",
		"arn:aws:sns:eusc-de-east-1:123456789012:T", "arn:aws:sns:us-east-1:1:T", "arn:aws:sqs:us-east-1:123456789012:T",
	} {
		if host := snsHost(topic); host != "" {
			t.Errorf("%s: got host %s, want none", topic, host)
		}
		if _, err := trySetUp("aws-sns", "", provider.PresetOptions{Topics: []string{topic}}); err == nil {
			t.Errorf("invalid topic %s is accepted", topic)
		}
	}
}

// TestSNSCertificateCommonNameIsUsedOnlyWithoutDNSNames: some certificates of SNS have
// only a common name.
func TestSNSCertificateCommonNameIsUsedOnlyWithoutDNSNames(t *testing.T) {
	const name = "sns-signing.af-south-1.amazonaws.com"
	for _, c := range []struct {
		subject string
		others  []string
		want    bool
	}{{name, nil, true}, {name, []string{"evil.test"}, false}, {"evil.test", nil, false}, {"evil.test", []string{name, "sns.af-south-1.amazonaws.com"}, true}} {
		err := checkCertName(&x509.Certificate{Subject: pkix.Name{CommonName: c.subject}, DNSNames: c.others}, snsCertNames(snsTopicIn("aws", "af-south-1")))
		if (err == nil) != c.want {
			t.Errorf("common name %s with DNS names %v: %v", c.subject, c.others, err)
		}
	}
}
