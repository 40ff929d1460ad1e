%% Answers packets about terms for test/peers/etf.test.ts. A packet is a letter and its arguments; several binaries
%% travel as <<Length:32, Bytes>> each.
-module(etf_peer).
-export([main/0]).

main() ->
    Port = open_port({fd, 0, 1}, [binary, {packet, 4}]),
    loop(Port).

loop(Port) ->
    receive
        {Port, {data, Request}} ->
            Answer = try answer(Request)
                     catch Class:Reason:Stack ->
                         io:format(standard_error, "~p ~p ~p~n", [Class, Reason, Stack]),
                         halt(1)
                     end,
            port_command(Port, Answer),
            loop(Port);
        {'EXIT', Port, _} -> halt(0);
        _ -> loop(Port)
    end.

%% Random terms, in one of the external formats.
answer(<<$g, Seed:32, Count:32, Format/binary>>) ->
    rand:seed(exsss, Seed),
    pack([encode(Format, term(1 + rand:uniform(4))) || _ <- lists:seq(1, Count)]);
%% What Erlang makes of the terms.
answer(<<$r, Terms/binary>>) ->
    pack([encode(<<"2">>, read(Term)) || Term <- unpack(Terms)]);
%% The same terms compressed.
answer(<<$c, Terms/binary>>) ->
    pack([encode(<<"compressed">>, read(Term)) || Term <- unpack(Terms)]);
%% Which terms of one list are those of another.
answer(<<$e, Length:32, First:Length/binary, Second/binary>>) ->
    lists:zipwith(fun(A, B) -> case read(A) =:= read(B) of true -> 1; false -> 0 end end,
                  unpack(First), unpack(Second));
%% The order of neighbours: 0, 1, 2 for <, ==, >; 10 more when =:=.
answer(<<$o, Terms/binary>>) ->
    [order(read(A), read(B)) || [A, B] <- pairs(unpack(Terms))];
%% Terms as text.
answer(<<$p, Terms/binary>>) ->
    pack([unicode:characters_to_binary(io_lib:format("~tw", [read(Term)])) || Term <- unpack(Terms)]);
%% Whether each is read at all.
answer(<<$v, Terms/binary>>) ->
    [try read(Term), 1 catch error:badarg -> 0 end || Term <- unpack(Terms)].

read(Bytes) -> binary_to_term(Bytes).

encode(<<"1">>, Term) -> term_to_binary(Term, [{minor_version, 1}]);
encode(<<"2">>, Term) -> term_to_binary(Term, [{minor_version, 2}]);
encode(<<"compressed">>, Term) -> term_to_binary(Term, [compressed, {minor_version, 2}]).

pairs([A, B | Rest]) -> [[A, B] | pairs(Rest)];
pairs([]) -> [].

order(A, B) ->
    Exact = case A =:= B of true -> 10; false -> 0 end,
    if A < B -> Exact; A == B -> Exact + 1; true -> Exact + 2 end.

pack(Binaries) -> [[<<(byte_size(B)):32>>, B] || B <- Binaries].

unpack(<<Length:32, Bytes:Length/binary, Rest/binary>>) -> [Bytes | unpack(Rest)];
unpack(<<>>) -> [].

%% Random terms of every kind. `Depth` is how deep they may still nest.
term(0) -> leaf();
term(Depth) ->
    case rand:uniform(12) of
        1 -> list_to_tuple(terms(Depth));
        2 -> terms(Depth);
        3 -> improper(Depth);
        4 -> map(rand:uniform(6), Depth);
        5 when Depth < 3 -> map(28 + rand:uniform(10), 1);
        6 -> closure(term(Depth - 1), term(Depth - 1));
        7 -> {leaf(), term(Depth - 1), {term(Depth - 1)}};
        8 -> [leaf() | terms(Depth)];
        _ -> leaf()
    end.

terms(Depth) ->
    case rand:uniform(60) of
        1 -> [leaf() || _ <- lists:seq(1, 250 + rand:uniform(20))];
        N -> [term(Depth - 1) || _ <- lists:seq(1, N div 15)]
    end.

improper(Depth) ->
    lists:foldl(fun(_, Tail) -> [term(Depth - 1) | Tail] end, leaf(), lists:seq(1, rand:uniform(4))).

map(Size, Depth) -> maps:from_list([{key(Depth), term(Depth - 1)} || _ <- lists:seq(1, Size)]).

key(Depth) ->
    case rand:uniform(6) of
        1 -> term(Depth - 1);
        2 -> integer_to_binary(rand:uniform(1000));
        3 -> text();
        _ -> leaf()
    end.

closure(A, B) ->
    case rand:uniform(3) of
        1 -> fun() -> A end;
        2 -> fun(X) -> {X, A, B} end;
        3 -> fun Loop(X, Y) -> Loop(A, {X, Y, B}) end
    end.

leaf() ->
    case rand:uniform(28) of
        1 -> rand:uniform(256) - 1;
        2 -> rand:uniform(1 bsl 32) - (1 bsl 31);
        3 -> edge();
        4 -> -edge();
        5 -> rand:uniform(1 bsl 64) - (1 bsl 63);
        6 -> (rand:uniform(1 bsl 60) bsl (rand:uniform(3000))) * sign();
        7 -> rand:normal();
        8 -> float(rand:uniform(1000)) * sign();
        9 -> -0.0;
        10 -> any_float();
        11 -> atom();
        12 -> lists:nth(rand:uniform(6), [true, false, undefined, null, nil, '']);
        13 -> rand:bytes(rand:uniform(40) - 1);
        14 -> text();
        15 -> <<(rand:bytes(rand:uniform(4)))/binary, (rand:uniform(127)):(rand:uniform(7))>>;
        16 -> binary_to_list(rand:bytes(rand:uniform(300) - 1));
        17 -> unicode:characters_to_list(text());
        18 -> pid();
        19 -> port();
        20 -> reference();
        21 -> fun lists:map/2;
        22 -> fun erlang:list_to_atom/1;
        23 -> fun some_module:'some function'/255;
        24 -> [];
        25 -> {};
        26 -> #{};
        27 -> [rand:uniform(300) - 1 || _ <- lists:seq(1, rand:uniform(5))];
        28 -> large(rand:uniform(1000))
    end.

large(1) -> lists:nth(rand:uniform(3), [rand:bytes(70000), binary_to_list(rand:bytes(65535)),
                                          binary_to_list(rand:bytes(65536))]);
large(_) -> [].

sign() -> rand:uniform(2) * 2 - 3.

edge() ->
    Bits = lists:nth(rand:uniform(12), [7, 8, 15, 16, 31, 32, 52, 53, 54, 63, 64, 255 * 8]),
    (1 bsl Bits) + rand:uniform(5) - 3.

any_float() ->
    case <<(rand:bytes(8))/binary>> of
        <<F/float>> -> F;
        _ -> any_float()
    end.

text() ->
    Alphabet = lists:nth(rand:uniform(3), ["abcdefghij_@ 0123456789", [228, 246, 252, 223, $a],
                                           [$a, 16#20ac, 16#1f600, 16#ffff, 16#e000, 16#10ffff]]),
    Length = lists:nth(rand:uniform(4), [3, 12, 60, 300]),
    unicode:characters_to_binary([lists:nth(rand:uniform(length(Alphabet)), Alphabet)
                                  || _ <- lists:seq(1, rand:uniform(Length))]).

atom() ->
    case rand:uniform(4) of
        1 -> list_to_atom(lists:duplicate(rand:uniform(255), lists:nth(rand:uniform(3), [$x, 233, 16#1f600])));
        2 -> list_to_atom([lists:nth(rand:uniform(4), [$a, $B, 16#20ac, 233])]);
        _ -> lists:nth(rand:uniform(7), [ok, error, 'EXIT', 'hello world', 'don\'t', 'after', node@host])
    end.

node_name() -> lists:nth(rand:uniform(3), [<<"a@b">>, <<"node1@localhost:4433">>, <<"n", 195, 169, "@x">>]).

pid() ->
    case rand:uniform(3) of
        1 -> self();
        2 -> group_leader();
        3 -> external(<<88>>, [word(), word()])
    end.

port() ->
    case rand:uniform(3) of
        1 -> hd(erlang:ports());
        2 -> external(<<120>>, [word(), word()]);
        3 -> external(<<89>>, [word()])
    end.

reference() ->
    case rand:uniform(3) of
        1 -> make_ref();
        2 -> Alias = alias([explicit_unalias]), unalias(Alias), Alias;
        3 ->
            Words = lists:nth(rand:uniform(3), [1, 3, 5]),
            Name = node_name(),
            binary_to_term(iolist_to_binary([131, 90, <<Words:16>>, 119, byte_size(Name), Name, word(),
                                             [<<(rand:uniform(1 bsl 18) - 1):32>> || _ <- lists:seq(1, Words)]]))
    end.

external(Tag, Words) ->
    Name = node_name(),
    binary_to_term(iolist_to_binary([131, Tag, 119, byte_size(Name), Name, Words, <<(rand:uniform(1 bsl 32) - 1):32>>])).

word() -> <<(rand:uniform(1 bsl 28) - 1):32>>.
