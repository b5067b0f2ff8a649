/// A queue whose elements keep their numbers, counted from the first one ever.
struct FirstInFirstOut<Element> {
    private var elements: [Element?] = []
    private var head = 0
    /// The number of the first element.
    private(set) var firstNumber = 0

    var count: Int { elements.count - head }
    /// The number that the next element gets.
    var endNumber: Int { firstNumber + count }
    var first: Element? { count > 0 ? elements[head] : nil }

    subscript(number: Int) -> Element {
        guard let element = elements[head + number - firstNumber] else { preconditionFailure("no such element") }
        return element
    }

    mutating func append(_ element: Element) { elements.append(element) }

    mutating func removeFirst() {
        precondition(count > 0)
        elements[head] = nil
        head += 1
        firstNumber += 1
        // Moved to the front when half of it is empty: each element is moved once on average.
        if head > 1024 && head * 2 > elements.count {
            elements.removeFirst(head)
            head = 0
        }
    }
}
