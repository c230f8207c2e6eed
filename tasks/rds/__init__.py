"""Amazon RDS and Aurora through their API. Not yet proven on AWS, but against the API's own model."""
