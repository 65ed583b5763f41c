package conformance

// What tests of this package's users need of a vector.
var (
	ProviderJSON = Vector.providerJSON
	Build        = Request.build
)
