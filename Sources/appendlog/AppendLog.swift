@main struct AppendLog { static func main() {} }
