%% Evaluates expressions in a real, distributed Erlang node for test/peers: a packet is their text, the answer a term,
%% {value, Value} or {Class, Reason}. Variables stay bound from one packet to the next. Packets go over the descriptors
%% 3 and 4, so that standard output shows what a user would see.
-module(eval_peer).
-export([main/0]).

main() ->
    spawn(fun() ->
        Port = open_port({fd, 3, 4}, [binary, {packet, 4}, eof]),
        loop(Port, spawn(fun() -> evaluate(erl_eval:new_bindings()) end))
    end).

loop(Port, Evaluator) ->
    receive
        {Port, {data, Text}} ->
            Evaluator ! {self(), binary_to_list(Text)},
            loop(Port, Evaluator);
        {Port, eof} -> halt(0);
        {answer, Answer} ->
            port_command(Port, term_to_binary(Answer)),
            loop(Port, Evaluator)
    end.

%% What an expression receives are messages to this process, so that self() stays the same.
evaluate(Bindings) ->
    receive
        {Asker, Text} when is_list(Text) ->
            {Answer, New} =
                try
                    {ok, Tokens, _} = erl_scan:string(Text ++ "."),
                    {ok, Expressions} = erl_parse:parse_exprs(Tokens),
                    {value, Value, Bound} = erl_eval:exprs(Expressions, Bindings),
                    {{value, Value}, Bound}
                catch
                    Class:Reason -> {{Class, Reason}, Bindings}
                end,
            Asker ! {answer, Answer},
            evaluate(New)
    end.
