import HTTPFrontEnd
import LogStore

extension Service {
    /// Answers 200 with a JSON text that never changes.
    func answer(_ exchange: Exchange, json text: StaticString) -> Step {
        var response = HTTPResponse(status: 200, body: text)
        response.addCommonHeaders(contentType: MediaType.json)
        exchange.respond(response)
        return .answered
    }

    /// `GET /readyz`
    func readReadiness(_ exchange: Exchange) -> Step {
        isReady ? answer(exchange, json: #"{"status":"ready"}\#n"#) : answer(exchange, .notReady)
    }

    /// `GET /openapi.yaml`
    func readContract(_ exchange: Exchange) -> Step {
        var response = HTTPResponse(status: 200, copying: Contract.openAPI)
        response.addCommonHeaders(contentType: MediaType.yaml)
        exchange.respond(response)
        return .answered
    }

    /// `GET /v1/logs/{log}`
    func readLog(_ exchange: Exchange, _ log: Range<Int>) -> Step {
        guard unsafe LogName.isValid(exchange.part(log)) else { return answer(exchange, .invalidLogName) }
        guard let slot = unsafe store.slot(named: exchange.part(log)) else { return answer(exchange, .logNotFound) }
        json.removeAll()
        json.log(store.summary(slot))
        return answerWithJSON(exchange)
    }

    /// `GET /v1/logs`
    func readLogs(_ exchange: Exchange, _ queryRange: Range<Int>) -> Step {
        let query: LogPageQuery
        do throws(QueryError) {
            query = try LogPageQuery(unsafe Array(exchange.part(queryRange)), limitMax: ServiceLimits.logPageMax)
        } catch {
            return answer(exchange, .invalidQuery(error))
        }
        json.removeAll()
        json.literal("{")
        json.logPage(store.list(prefix: query.prefix, after: query.after, limit: query.limit))
        json.literal("}")
        return answerWithJSON(exchange)
    }

    /// `GET /v1/stats`
    func readStats(_ exchange: Exchange, _ queryRange: Range<Int>) -> Step {
        let query: LogPageQuery
        do throws(QueryError) {
            query = try LogPageQuery(unsafe Array(exchange.part(queryRange)), limitMax: ServiceLimits.statsPageMax)
        } catch {
            return answer(exchange, .invalidQuery(error))
        }
        let now = clock.monotonicMicroseconds
        let stats = StatsDocument(
            uptimeMicroseconds: UInt64(now - startedAt), isReady: isReady, engine: store.wal.engine,
            totals: store.totals, wal: WriteAheadLogStats(store),
            requests: requestStats(now: now),
            page: store.list(prefix: query.prefix, after: query.after, limit: query.limit))
        json.removeAll()
        stats.write(to: &json)
        return answerWithJSON(exchange)
    }

    private func requestStats(now: Int64) -> RequestStats {
        let waiting = frontEnd?.waitingExchanges(nowMicroseconds: UInt64(now)) { $0.waitsForCommit }
        return RequestStats(
            waiting: waiting ?? (0, 0), readCount: waitingReads.count, longPollCount: live.pollCount,
            subscriberCount: live.subscriberCount, recordStreamCount: live.recordStreamCount,
            connectionCount: frontEnd?.connectionCount ?? 0)
    }

    /// Answers 200 with what was written to `json`, and a line end for those who read it on a terminal.
    private func answerWithJSON(_ exchange: Exchange) -> Step {
        json.literal("\n")
        var response = HTTPResponse(status: 200, copying: json.bytes)
        response.addCommonHeaders(contentType: MediaType.json)
        exchange.respond(response)
        return .answered
    }
}
