enum HTTPFrontEndPlaceholder {}
