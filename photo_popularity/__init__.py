"""photo-popularity: a nightly pipeline that learns how popular each photo of a photo site will be."""
