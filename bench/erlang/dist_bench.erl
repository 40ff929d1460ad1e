%% Distribution between two BEAM nodes: dist_bench:run(Peer) prints one line of JSON. The peer has this module on its
%% path. The same file runs over any -proto_dist.
-module(dist_bench).
-export([run/1, echo/0, sink/3]).

run(Peer) ->
    true = net_kernel:connect_node(Peer),
    %% Programs that compile while they run are slower at first.
    {_, Cold} = round_trips(Peer, 3000),
    {P50, P99} = round_trips(Peer, 3000),
    One = rate(Peer, 1, 200000, 100),
    Sixteen = rate(Peer, 16, 200000, 100),
    Middle = rate(Peer, 1, 6000, 65536) * 65536 / 1.0e6,
    Large = rate(Peer, 1, 300, 1048576) * 1048576 / 1.0e6,
    io:format("{\"coldP99Ms\":~.3f,\"p50Ms\":~.3f,\"p99Ms\":~.3f,\"one\":~b,\"sixteen\":~b,\"middle\":~.1f,\"large\":~.1f}~n",
              [Cold, P50, P99, round(One), round(Sixteen), Middle, Large]).

%% Milliseconds of a message of 100 bytes there and back: median, 99th percentile.
round_trips(Peer, Count) ->
    Pid = spawn(Peer, ?MODULE, echo, []),
    Message = binary:copy(<<1>>, 100),
    Sorted = lists:sort([round_trip(Pid, Message) || _ <- lists:seq(1, Count)]),
    exit(Pid, kill),
    {lists:nth(Count div 2, Sorted), lists:nth(Count * 99 div 100, Sorted)}.

round_trip(Pid, Message) ->
    Start = erlang:monotonic_time(nanosecond),
    Pid ! {self(), Message},
    receive {Pid, Message} -> (erlang:monotonic_time(nanosecond) - Start) / 1.0e6 end.

echo() ->
    receive {From, Message} -> From ! {self(), Message}, echo() end.

%% Messages a second of Bytes from Senders processes to as many receivers.
rate(Peer, Senders, Count, Bytes) ->
    Message = list_to_binary([I rem 251 || I <- lists:seq(1, Bytes)]),
    Me = self(),
    Each = Count div Senders,
    Start = erlang:monotonic_time(microsecond),
    [spawn(fun() ->
               Pid = spawn(Peer, ?MODULE, sink, [Me, Each, 0]),
               [Pid ! Message || _ <- lists:seq(1, Each)]
           end) || _ <- lists:seq(1, Senders)],
    [receive done -> ok end || _ <- lists:seq(1, Senders)],
    Each * Senders / ((erlang:monotonic_time(microsecond) - Start) / 1.0e6).

sink(Owner, Count, Count) -> Owner ! done;
sink(Owner, Count, Got) -> receive Message when is_binary(Message) -> sink(Owner, Count, Got + 1) end.
