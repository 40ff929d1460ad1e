%% Evaluates what a test asks for, in one process, so that links, monitors and messages last from one question to the
%% next. The test is reached over TCP, so that standard output is what it is on a node of a user's.
-module(evaluator).
-export([main/0]).

main() ->
    %% The node ends with the connection, in whatever state it is.
    spawn(fun() ->
        Port = list_to_integer(os:getenv("MACULA_TEST_PORT")),
        {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {packet, 4}, {active, false}]),
        Evaluator = spawn(fun() -> evaluate([]) end),
        loop(Socket, Evaluator)
    end).

loop(Socket, Evaluator) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, Question} ->
            Evaluator ! {question, self(), Question},
            receive {answer, Answer} -> ok = gen_tcp:send(Socket, Answer) end,
            loop(Socket, Evaluator);
        {error, _} -> erlang:halt(0, [{flush, false}])
    end.

evaluate(Bindings) ->
    receive
        {question, From, Question} ->
            {Answer, After} = answer(unicode:characters_to_list(Question), Bindings),
            From ! {answer, Answer},
            evaluate(After)
    end.

answer(Question, Bindings) ->
    try
        {ok, Tokens, _} = erl_scan:string(Question ++ "."),
        {ok, Expressions} = erl_parse:parse_exprs(Tokens),
        {value, Value, After} = erl_eval:exprs(Expressions, Bindings),
        {unicode:characters_to_binary(io_lib:format("~0tp", [Value])), After}
    catch
        Class:Reason ->
            {unicode:characters_to_binary(io_lib:format("~0tp", [{Class, Reason}])), Bindings}
    end.
