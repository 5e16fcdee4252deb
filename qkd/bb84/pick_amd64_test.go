package bb84

func setExtract(has bool) { hasExtract = has }
